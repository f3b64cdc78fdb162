"""Data sets, the batch of step t, and augmentation."""
