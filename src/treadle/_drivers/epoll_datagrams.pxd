from treadle._drivers.address cimport AddressBook
from treadle._drivers.base cimport Datagrams, Driver

cdef AddressBook senders

cdef int receive_datagrams(
    Driver driver, Datagrams endpoint, char *scratch, Py_ssize_t size) except -1
cdef bint send_datagram(Driver driver, Datagrams endpoint, data, address) except -1
cdef int transmit(int fd, void *data, Py_ssize_t size, bytes raw) noexcept  # an errno
