"""The archive: moving vouchers there, its partitions, and purging them."""
