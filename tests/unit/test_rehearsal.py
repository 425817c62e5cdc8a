"""``marketsync sandbox NAME`` says how its marketplace is configured, and that configuration is right."""

import pytest

from marketsync.cli.adapters import rehearsal
from marketsync.config.loader import load
from marketsync.config.secrets import new_key
from marketsync.daemon.adapters import Installed, adapter_class


@pytest.mark.parametrize("name", ["sandbox", "kaufland", "amazon", "ebay", "shopify", "woocommerce"])
def test_the_channel_that_is_shown_for_a_rehearsal_is_right_as_it_is(tmp_path, name):
    path = tmp_path / "marketsync.yaml"
    channel = rehearsal(adapter_class(name), "http://127.0.0.1:8800")
    path.write_text(f"key: {new_key()}\nvat: {{DE: {{standard: 19%}}}}\nchannels:\n{channel}")
    config = load(path, adapters=Installed()).whole()
    assert [name] == [account.adapter for account in config.accounts.values()]
