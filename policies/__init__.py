"""What may be shared: fields, agreements, decision, minimisation. Pure; standard library only."""
