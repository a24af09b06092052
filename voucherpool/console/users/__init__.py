"""Who may use the console: its users, their sessions, and the commands about them."""
