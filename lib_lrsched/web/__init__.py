"""JSON endpoints and the tab's markup."""
