"""What commands print beside their answer: tables, bars, the next step."""
