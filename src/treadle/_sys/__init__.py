"""Declarations of C functions and structs; nothing else."""
