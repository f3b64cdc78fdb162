"""Every path, key and atomic write of a results folder, and the tidy tables read from it."""
