"""What a record holds of each pass: raw values, with units in the names of the fields."""
