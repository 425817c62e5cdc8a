"""The spec is sound: what the engine plans with can be believed."""

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from marketsync.adapter.api import Aspect, ConfirmsPushes, PushesOffers, ReadsOffers
from marketsync.testing.contract.harness import Harness, Session


class SpecContract:
    def test_name_and_documents_are_given(self, harness: Harness) -> None:
        """The name can stand in a configuration and a metric; title and docs tell a person what this is."""
        spec = harness.adapter.spec
        assert spec.name.isidentifier()
        assert spec.name == spec.name.lower()
        assert spec.title
        assert spec.docs.startswith("https://")

    def test_operations_and_their_buckets_exist(self, harness: Harness) -> None:
        """Names are unique, and each bucket that an operation names is one that the settings give."""
        spec = harness.adapter.spec
        names = [operation.name for operation in spec.operations]
        buckets = [bucket.name for bucket in spec.buckets(harness.settings)]
        assert sorted(set(names)) == sorted(names)
        assert sorted(set(buckets)) == sorted(buckets)
        for operation in spec.operations:
            assert set(operation.buckets) <= set(buckets), operation.name
            assert operation.batch >= 1, operation.name
            assert operation.cost > 0, operation.name
            assert operation.timeout.total_seconds() > 0, operation.name

    def test_doors_fit_the_capabilities(self, harness: Harness) -> None:
        """Who pushes has doors, who has none pushes nothing; each pushed aspect has a mapping version."""
        spec = harness.adapter.spec
        doors = [operation for operation in spec.operations if operation.aspects]
        assert bool(doors) == issubclass(harness.adapter, PushesOffers)
        pushed = {aspect for door in doors for aspect in door.aspects}
        assert pushed <= set(spec.mapping_version)
        assert all(version >= 1 for version in spec.mapping_version.values())
        assert all(door.writes for door in doors)
        assert all(Aspect.STOCK in door.aspects for door in doors if door.urgent), "urgent doors carry stock"

    def test_who_reads_says_what_it_sees(self, harness: Harness) -> None:
        """Drift can only be judged by fields that reading back can see."""
        harness.needs(ReadsOffers)
        assert any(harness.adapter.spec.observable.values())

    def test_bounds_are_in_order(self, harness: Harness) -> None:
        """A bound is a pair of whole numbers, the lower one first."""
        for low, high in (harness.adapter.spec.price_bounds, harness.adapter.spec.stock_bounds):
            assert 0 <= low <= high

    @pytest.mark.parametrize("model", ["settings", "credentials"])
    def test_models_refuse_unknown_keys_and_describe_each(self, harness: Harness, model: str) -> None:
        """A typing error in a configuration is reported, and the generated documents say what each key is."""
        kind: type[BaseModel] = getattr(harness.adapter.spec, model)
        for name, field in kind.model_fields.items():
            assert field.description, f"{model}.{name} has no description"
        with pytest.raises(ValidationError, match="extra"):
            kind.model_validate({"no_such_key_as_this": 1})

    def test_secrets_are_secret_types(self, harness: Harness) -> None:
        """What must not be shown is a SecretStr, so that no repr and no dump shows it."""
        for secret in harness.secrets:
            assert secret not in repr(harness.settings) + repr(harness.credentials)
            assert secret not in harness.settings.model_dump_json() + harness.credentials.model_dump_json()
        assert any(_is_secret(value) for _, value in harness.credentials) or not harness.secrets

    def test_base_url_and_auth_are_made_of_the_configuration(self, harness: Harness) -> None:
        """The address and the way in come from credentials and settings alone."""
        spec = harness.adapter.spec
        assert spec.base_url(harness.credentials, harness.settings).startswith(("https://", "http://"))
        assert spec.auth(harness.credentials, harness.settings) is not None

    def test_check_says_who_we_are_in_one_line(self, harness: Harness) -> None:
        """The line is for a person: not empty, not several, and without a secret."""

        async def check(session: Session) -> str:
            message: str = await session.adapter.check()
            return message

        message = harness.run(check)
        assert message.strip()
        assert "\n" not in message
        assert not [secret for secret in harness.secrets if secret in message]

    def test_closing_twice_is_harmless(self, harness: Harness) -> None:
        """``aclose`` may be called again, and on an adapter that was never used."""

        async def close(session: Session) -> None:
            await session.adapter.aclose()
            await session.adapter.aclose()

        harness.run(close)

    def test_repr_holds_no_secret(self, harness: Harness) -> None:
        """An adapter that lands in a log or a traceback tells nothing."""

        async def show(session: Session) -> str:
            return repr(session.adapter) + str(vars(session.adapter) if hasattr(session.adapter, "__dict__") else "")

        shown = harness.run(show)
        assert not [secret for secret in harness.secrets if secret in shown]

    def test_what_is_submitted_can_be_confirmed(self, harness: Harness) -> None:
        """An adapter that answers SUBMITTED implements ``ConfirmsPushes``; a receipt nobody knows is no success."""
        harness.needs(ConfirmsPushes, PushesOffers)
        assert harness.adapter.spec.confirm_within.total_seconds() > 0


def _is_secret(value: Any) -> bool:
    return isinstance(value, SecretStr)
