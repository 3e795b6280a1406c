"""Files of text and tables as rows, whatever wrote them."""
