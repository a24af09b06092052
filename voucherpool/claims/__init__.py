"""Claims: vouchers that customers take out of an offer's pool."""
