"""The normal form of a code in capitals that no locale decides: upper('i') is İ in Turkish."""

from alembic import op

revision = "0011"
down_revision = "0010"

by_locale = "translate(upper(translate(code, ' -', '')), 'OIL', '011')"
by_letter = "translate(upper(translate(code, ' -', '') COLLATE \"C\"), 'OIL', '011')"


def upgrade() -> None:
    replace_check(by_letter)


def downgrade() -> None:
    replace_check(by_locale)


def replace_check(normal_form: str) -> None:
    """Replace the check for what comes, then look at what is there while the shop writes."""
    with op.get_context().autocommit_block():
        op.execute(
            "ALTER TABLE vouchers DROP CONSTRAINT IF EXISTS vouchers_code_check,"
            f" ADD CONSTRAINT vouchers_code_check CHECK (code_key = {normal_form}) NOT VALID"
        )
        op.execute("ALTER TABLE vouchers VALIDATE CONSTRAINT vouchers_code_check")
