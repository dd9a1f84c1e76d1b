"""Made-up data whose evidence is known: solids, discs, chests."""
