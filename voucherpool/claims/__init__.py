"""Claims: customers take vouchers from an offer's pool."""
