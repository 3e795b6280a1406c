"""Card templates and rendered cards: text files shipped with the package."""
