"""Files of the MedMNIST collection, and a stand-in for them."""
