"""What programs that run in the laboratory are made from: headers and includes, and the catalogue of examples."""
