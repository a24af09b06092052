"""What support staff do with a voucher: look it up, disable it, enable it."""
