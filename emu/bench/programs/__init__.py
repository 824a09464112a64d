"""Sources of the guest programs and of the native yardstick. A package so that they are installed with the rest."""
