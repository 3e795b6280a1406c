"""One repository on the Hugging Face Hub: reached, planned, sent; its card, its licences, what goes wrong on the way."""
