"""Texts of others as rows that can be taken up again: data sets of the Hub, local files, sets that come with the package."""
