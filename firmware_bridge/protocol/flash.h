/* Constants that stay in flash. An AVR reads flash by instructions of its own, so C has a qualifier for it; on every
 * other processor a constant is in flash anyway and both words are empty.
 *
 *     static const TL_IN_FLASH tl_plant_row rows[] = {...};     a definition, in C and in C++
 *     const TL_ROM tl_plant_row *row = &sheet->rows[0];       a pointer to it; only C reads through it on an AVR
 * */
#pragma once

#if defined(__AVR__) && !defined(__cplusplus)
#define TL_ROM __flash
#define TL_IN_FLASH __flash
#elif defined(__AVR__)
#define TL_ROM
#define TL_IN_FLASH __attribute__((__progmem__))
#else
#define TL_ROM
#define TL_IN_FLASH
#endif
