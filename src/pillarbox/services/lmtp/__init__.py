"""The LMTP service."""
