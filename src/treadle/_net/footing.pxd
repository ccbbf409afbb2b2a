from treadle._net.scratch cimport Scratch
from treadle._net.upper cimport Upper


cdef class Footing:
    cdef Upper _upper
    cdef Scratch _scratch
    cdef object _context
