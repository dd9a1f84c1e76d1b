"""Radiographs with findings, in the layout of ChestX-ray14, and a stand-in for them."""
