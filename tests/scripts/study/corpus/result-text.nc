not a file of numbers
