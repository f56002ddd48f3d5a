/*
 * number.h - the numbers of the session dialect, to and from bytes: little-endian.
 *
 * In one expression each, which a compiler makes one instruction of: a listing has millions of
 * them.
 */
#ifndef VSOCKFS_SESSION_NUMBER_H
#define VSOCKFS_SESSION_NUMBER_H

#include <stdint.h>

static inline void put16(unsigned char *at, uint16_t value)
{
	at[0] = (unsigned char)value;
	at[1] = (unsigned char)(value >> 8);
}

static inline void put32(unsigned char *at, uint32_t value)
{
	at[0] = (unsigned char)value;
	at[1] = (unsigned char)(value >> 8);
	at[2] = (unsigned char)(value >> 16);
	at[3] = (unsigned char)(value >> 24);
}

static inline void put64(unsigned char *at, uint64_t value)
{
	put32(at, (uint32_t)value);
	put32(at + 4, (uint32_t)(value >> 32));
}

static inline uint16_t get16(const unsigned char *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t get32(const unsigned char *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static inline uint64_t get64(const unsigned char *at)
{
	return (uint64_t)get32(at) | (uint64_t)get32(at + 4) << 32;
}

#endif
