"""vcam client: explained classification of 3-D scans, over the network."""
