"""The parity proof: every part of a bundle answers as the Trainers' models do, in processes of its own."""
