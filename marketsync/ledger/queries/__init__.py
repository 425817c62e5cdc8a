"""What people and metrics ask of a ledger: reading only, one module per noun. Times are aware UTC."""
