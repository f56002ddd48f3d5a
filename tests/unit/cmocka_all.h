/*
 * cmocka_all.h - cmocka with the headers that it wants before it.
 */
#ifndef VSOCKFS_TESTS_CMOCKA_ALL_H
#define VSOCKFS_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
