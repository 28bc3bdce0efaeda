"""Every published figure of the classifier has its command here."""
