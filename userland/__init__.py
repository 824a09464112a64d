"""What programs that run in the laboratory are made from: the C header and the catalogue of examples."""
