"""The IMAP worker: everything after login."""
