"""What a checkout does with a voucher: check, hold, redeem; and the refusals."""
