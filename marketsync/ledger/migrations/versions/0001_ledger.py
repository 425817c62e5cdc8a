"""Ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_ledger"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("adapter", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("sku", sa.String(), nullable=True),
        sa.Column("aspect", sa.String(), nullable=True),
        sa.Column("guard", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("details", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("cause", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.create_index("hold_offer", ["channel", "sku"], unique=False)
        batch_op.create_index("hold_state", ["state", "channel", "guard"], unique=False)

    op.create_table(
        "issue",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("scope", "sku", "code"),
    )
    with op.batch_alter_table("issue", schema=None) as batch_op:
        batch_op.create_index("issue_open", ["closed_at", "scope", "code"], unique=False)

    op.create_table(
        "item",
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("rederive_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sku"),
    )
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.create_index(
            "item_rederive",
            ["rederive_at"],
            unique=False,
            sqlite_where=sa.text("rederive_at IS NOT NULL"),
            postgresql_where=sa.text("rederive_at IS NOT NULL"),
        )

    op.create_table(
        "lease",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "task"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "oauth_token",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("refresh_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "override",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("channel", "sku", "field"),
    )
    op.create_table(
        "rate_bucket",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("tat", sa.Float(precision=53), nullable=False),
        sa.Column("blocked_until", sa.Float(precision=53), nullable=False),
        sa.Column("learned", sa.Float(precision=53), nullable=True),
        sa.Column("used", sa.Float(precision=53), nullable=False),
        sa.Column("window_start", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("account", "bucket"),
    )
    op.create_table(
        "source_item",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("figures", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.PrimaryKeyConstraint("source", "sku"),
    )
    op.create_table(
        "source_snapshot",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("exported_at", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=True),
        sa.Column("checksum", sa.String(), nullable=False),
        sa.Column("marks", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("header", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("problems", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("source_snapshot", schema=None) as batch_op:
        batch_op.create_index("source_snapshot_read", ["source", "read_at"], unique=False)

    op.create_table(
        "stock_level",
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("figure_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sku", "location"),
    )
    op.create_table(
        "stock_movement",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference"),
    )
    with op.batch_alter_table("stock_movement", schema=None) as batch_op:
        batch_op.create_index("stock_movement_sku", ["sku", "location"], unique=False)

    op.create_table(
        "task_run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("counts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("task_run", schema=None) as batch_op:
        batch_op.create_index("task_run_started", ["started_at"], unique=False)

    op.create_table(
        "task_state",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("cursor", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("success_at", sa.BigInteger(), nullable=True),
        sa.Column("pulled_from", sa.BigInteger(), nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "task"),
    )
    op.create_table(
        "channel",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("storefront", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("takes", sa.Integer(), nullable=False),
        sa.Column("adopted_at", sa.BigInteger(), nullable=True),
        sa.Column("rules_hash", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    with op.batch_alter_table("channel", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_channel_account_id"), ["account_id"], unique=False)

    op.create_table(
        "return_item",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("channel_order_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("channel_line_id", sa.String(), nullable=False),
        sa.Column("channel_sku", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sellable", sa.Boolean(), nullable=True),
        sa.Column("restocked", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "channel_order_id", "key"),
    )
    op.create_table(
        "shipment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("channel_order_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "channel_order_id", "key"),
    )
    op.create_table(
        "listing_map",
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("channel_sku", sa.String(), nullable=False),
        sa.Column("item_sku", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"]),
        sa.PrimaryKeyConstraint("channel_id", "channel_sku", "item_sku"),
    )
    with op.batch_alter_table("listing_map", schema=None) as batch_op:
        batch_op.create_index("listing_map_item", ["item_sku"], unique=False)

    op.create_table(
        "offer",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("item_sku", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=True),
        sa.Column("remote_id", sa.String(), nullable=True),
        sa.Column("fulfilled_by", sa.String(), nullable=False),
        sa.Column("stock_key", sa.String(), nullable=True),
        sa.Column("managed", sa.SmallInteger(), nullable=False),
        sa.Column("held", sa.SmallInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("open_batch", sa.BigInteger(), nullable=True),
        sa.Column("open_aspects", sa.SmallInteger(), nullable=False),
        sa.Column("zero_sent", sa.SmallInteger(), nullable=False),
        sa.Column("forgotten", sa.SmallInteger(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("listing_desired", sa.LargeBinary(length=16), nullable=False),
        sa.Column("listing_acked", sa.LargeBinary(length=16), nullable=False),
        sa.Column("listing_seen", sa.LargeBinary(length=16), nullable=False),
        sa.Column("listing_due", sa.BigInteger(), nullable=True),
        sa.Column("listing_since", sa.BigInteger(), nullable=True),
        sa.Column("listing_parked", sa.LargeBinary(length=16), nullable=True),
        sa.Column("listing_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("listing_acked_at", sa.BigInteger(), nullable=True),
        sa.Column("price_desired", sa.LargeBinary(length=16), nullable=False),
        sa.Column("price_acked", sa.LargeBinary(length=16), nullable=False),
        sa.Column("price_seen", sa.LargeBinary(length=16), nullable=False),
        sa.Column("price_due", sa.BigInteger(), nullable=True),
        sa.Column("price_since", sa.BigInteger(), nullable=True),
        sa.Column("price_parked", sa.LargeBinary(length=16), nullable=True),
        sa.Column("price_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("price_acked_at", sa.BigInteger(), nullable=True),
        sa.Column("stock_desired", sa.LargeBinary(length=16), nullable=False),
        sa.Column("stock_acked", sa.LargeBinary(length=16), nullable=False),
        sa.Column("stock_seen", sa.LargeBinary(length=16), nullable=False),
        sa.Column("stock_due", sa.BigInteger(), nullable=True),
        sa.Column("stock_since", sa.BigInteger(), nullable=True),
        sa.Column("stock_parked", sa.LargeBinary(length=16), nullable=True),
        sa.Column("stock_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("stock_acked_at", sa.BigInteger(), nullable=True),
        sa.Column("stock_quantity", sa.Integer(), nullable=False),
        sa.Column("stock_acked_quantity", sa.Integer(), nullable=True),
        sa.Column("stock_basis", sa.BigInteger(), nullable=False),
        sa.Column("left_at", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("proved", sa.SmallInteger(), nullable=False),
        sa.Column("healed_on", sa.Integer(), nullable=True),
        sa.Column("revisions_on", sa.Integer(), nullable=True),
        sa.Column("revisions_today", sa.Integer(), nullable=False),
        sa.Column("price_acked_content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("price_content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("stock_acked_content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("stock_content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("listing_acked_content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("listing_content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel_id", "sku"),
    )
    with op.batch_alter_table("offer", schema=None) as batch_op:
        batch_op.create_index(
            "offer_family",
            ["channel_id", "family"],
            unique=False,
            sqlite_where=sa.text("family IS NOT NULL"),
            postgresql_where=sa.text("family IS NOT NULL"),
        )
        batch_op.create_index(
            "offer_held",
            ["channel_id"],
            unique=False,
            sqlite_where=sa.text("held != 0"),
            postgresql_where=sa.text("held != 0"),
        )
        batch_op.create_index(
            "offer_open",
            ["open_batch"],
            unique=False,
            sqlite_where=sa.text("open_batch IS NOT NULL"),
            postgresql_where=sa.text("open_batch IS NOT NULL"),
        )
        batch_op.create_index(
            "offer_outbox",
            ["channel_id", "lane", "due_at"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.create_index(
            "offer_remote",
            ["channel_id", "remote_id"],
            unique=False,
            sqlite_where=sa.text("remote_id IS NOT NULL"),
            postgresql_where=sa.text("remote_id IS NOT NULL"),
        )
        batch_op.create_index(
            "offer_stock_key",
            ["stock_key"],
            unique=False,
            sqlite_where=sa.text("stock_key IS NOT NULL"),
            postgresql_where=sa.text("stock_key IS NOT NULL"),
        )

    op.create_table(
        "price_history",
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("live_from", sa.BigInteger(), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("sale_minor", sa.BigInteger(), nullable=True),
        sa.Column("sale_from", sa.BigInteger(), nullable=True),
        sa.Column("sale_until", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"]),
        sa.PrimaryKeyConstraint("channel_id", "sku", "live_from"),
    )
    op.create_table(
        "push_batch",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt", sa.String(), nullable=True),
        sa.Column("ask_at", sa.BigInteger(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("ops", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("push_batch", schema=None) as batch_op:
        batch_op.create_index(
            "push_batch_open",
            ["channel_id"],
            unique=False,
            sqlite_where=sa.text("closed_at IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL"),
        )
        batch_op.create_index("push_batch_started", ["started_at"], unique=False)

    op.create_table(
        "sales_order",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("channel_order_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("payment", sa.String(), nullable=False),
        sa.Column("fulfilment", sa.String(), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("ship_by", sa.BigInteger(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=True),
        sa.Column("shipping_minor", sa.BigInteger(), nullable=True),
        sa.Column("has_address", sa.Boolean(), nullable=False),
        sa.Column("before_adoption", sa.Boolean(), nullable=False),
        sa.Column("unmapped", sa.Boolean(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("extra", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "channel_order_id"),
        sa.UniqueConstraint("key"),
    )
    with op.batch_alter_table("sales_order", schema=None) as batch_op:
        batch_op.create_index("sales_order_placed", ["account_id", "placed_at"], unique=False)
        batch_op.create_index("sales_order_state", ["channel_id", "payment", "fulfilment"], unique=False)
        batch_op.create_index(
            "sales_order_unmapped",
            ["account_id"],
            unique=False,
            sqlite_where=sa.text("unmapped"),
            postgresql_where=sa.text("unmapped"),
        )

    op.create_table(
        "buyer",
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"]),
        sa.PrimaryKeyConstraint("order_id"),
    )
    with op.batch_alter_table("buyer", schema=None) as batch_op:
        batch_op.create_index("buyer_expiry", ["expires_at"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"]),
        sa.PrimaryKeyConstraint("order_id", "sink"),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "delivery_due",
            ["sink", "next_attempt"],
            unique=False,
            sqlite_where=sa.text("next_attempt IS NOT NULL"),
            postgresql_where=sa.text("next_attempt IS NOT NULL"),
        )

    op.create_table(
        "order_command",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    with op.batch_alter_table("order_command", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_command_order_id"), ["order_id"], unique=False)
        batch_op.create_index(
            "order_command_due",
            ["account_id", "next_attempt"],
            unique=False,
            sqlite_where=sa.text("next_attempt IS NOT NULL"),
            postgresql_where=sa.text("next_attempt IS NOT NULL"),
        )

    op.create_table(
        "order_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("details", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("order_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_event_order_id"), ["order_id"], unique=False)

    op.create_table(
        "order_line",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_line_id", sa.String(), nullable=False),
        sa.Column("channel_sku", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("unit_ids", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("components", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("fulfilled_by", sa.String(), nullable=False),
        sa.Column("ordered", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("shipped", sa.Integer(), nullable=False),
        sa.Column("returned", sa.Integer(), nullable=False),
        sa.Column("refunded", sa.Integer(), nullable=False),
        sa.Column("restocked", sa.Integer(), nullable=False),
        sa.Column("oversold", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("gross", sa.Boolean(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=True),
        sa.Column("tax_rate", sa.String(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=True),
        sa.Column("discount_paid_by", sa.String(), nullable=False),
        sa.Column("fees_minor", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["sales_order.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("order_id", "channel_line_id"),
    )
    with op.batch_alter_table("order_line", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_order_line_order_id"), ["order_id"], unique=False)
        batch_op.create_index("order_line_sku", ["channel_sku"], unique=False)

    op.create_table(
        "push_item",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("offer_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("aspects", sa.SmallInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("withdraw", sa.Boolean(), nullable=False),
        sa.Column("listing_hash", sa.LargeBinary(length=16), nullable=True),
        sa.Column("price_hash", sa.LargeBinary(length=16), nullable=True),
        sa.Column("stock_hash", sa.LargeBinary(length=16), nullable=True),
        sa.Column("listing_before", sa.LargeBinary(length=16), nullable=True),
        sa.Column("price_before", sa.LargeBinary(length=16), nullable=True),
        sa.Column("stock_before", sa.LargeBinary(length=16), nullable=True),
        sa.Column("past_open", sa.Boolean(), nullable=False),
        sa.Column("content", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("results", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["push_batch.id"]),
        sa.PrimaryKeyConstraint("batch_id", "offer_id"),
    )
    op.create_table(
        "reservation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("line_id", sa.BigInteger(), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("fallen", sa.Integer(), nullable=False),
        sa.Column("fell_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["line_id"], ["order_line.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("line_id", "sku"),
    )
    with op.batch_alter_table("reservation", schema=None) as batch_op:
        batch_op.create_index(
            "reservation_fell",
            ["location", "fell_at"],
            unique=False,
            sqlite_where=sa.text("fell_at IS NOT NULL"),
            postgresql_where=sa.text("fell_at IS NOT NULL"),
        )
        batch_op.create_index("reservation_sku", ["sku", "location"], unique=False)
