"""Where images come from, which batch is step t, and augmentation."""
