"""The archive: moving vouchers into it, its partitions, and purging."""
