"""Measurements that anyone can run: ``make bench``, or one script of this folder at a time."""
