"""E-mail: vouchers that were issued or expire soon, and the link that ends such messages."""
