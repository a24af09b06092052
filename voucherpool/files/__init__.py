"""Files of vouchers: taken in, and given out."""
