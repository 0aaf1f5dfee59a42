"""What is done with tubes apart from measuring them: labels, transport, aliquots, storage, disposal."""
