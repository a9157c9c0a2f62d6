/* The registers that this board uses, as structures at addresses: RM0090 (STM32F405), PM0214 (Cortex-M4).
 * Tests pass the drivers a structure in memory instead. */
#pragma once

#include <stdint.h>

typedef volatile uint32_t tl_register;

/* ---- core (PM0214, 4) ---- */
typedef struct {
    tl_register cpuid, icsr, vtor, aircr, scr, ccr;
} tl_scb_registers;
#define TL_SCB ((tl_scb_registers *)0xE000ED00u)
#define TL_AIRCR_KEY 0x05FA0000u
#define TL_AIRCR_SYSRESETREQ 4u

typedef struct {
    tl_register ctrl, load, val, calib;
} tl_systick_registers;
#define TL_SYSTICK ((tl_systick_registers *)0xE000E010u)
#define TL_SYSTICK_ENABLE 1u
#define TL_SYSTICK_INTERRUPT 2u
#define TL_SYSTICK_CORE_CLOCK 4u

/* 32 interrupts a word */
#define TL_NVIC_ENABLE ((tl_register *)0xE000E100u)
#define TL_NVIC_PEND ((tl_register *)0xE000E200u)

#define TL_SCB_ICSR_PENDSTSET (1u << 26)

/* ---- clocks (RM0090, 3.9, 7.3) ---- */
typedef struct {
    tl_register cr, pllcfgr, cfgr, cir, ahb1rstr, ahb2rstr, ahb3rstr, reserved0, apb1rstr, apb2rstr, reserved1[2],
        ahb1enr, ahb2enr, ahb3enr, reserved2, apb1enr, apb2enr;
} tl_rcc_registers;
#define TL_RCC ((tl_rcc_registers *)0x40023800u)
#define TL_RCC_HSION 1u
#define TL_RCC_HSIRDY 2u
#define TL_RCC_HSEON (1u << 16)
#define TL_RCC_HSERDY (1u << 17)
#define TL_RCC_PLLON (1u << 24)
#define TL_RCC_PLLRDY (1u << 25)

typedef struct {
    tl_register acr, keyr, optkeyr, sr, cr, optcr;
} tl_flash_registers;
#define TL_FLASH ((tl_flash_registers *)0x40023C00u)

/* ---- pins (RM0090, 8.4) ---- */
typedef struct {
    tl_register moder, otyper, ospeedr, pupdr, idr, odr, bsrr, lckr, afr[2];
} tl_gpio_registers;
#define TL_GPIOA ((tl_gpio_registers *)0x40020000u)

/* ---- serial port (RM0090, 30.6) ---- */
typedef struct {
    tl_register sr, dr, brr, cr1, cr2, cr3, gtpr;
} tl_usart_registers;
#define TL_USART1 ((tl_usart_registers *)0x40011000u)
#define TL_USART1_INTERRUPT 37u
#define TL_USART_ORE (1u << 3)
#define TL_USART_RXNE (1u << 5)
#define TL_USART_TXE (1u << 7)
#define TL_USART_CR1_RE (1u << 2)
#define TL_USART_CR1_TE (1u << 3)
#define TL_USART_CR1_RXNEIE (1u << 5)
#define TL_USART_CR1_TXEIE (1u << 7)
#define TL_USART_CR1_UE (1u << 13)

/* ---- independent watchdog (RM0090, 21.4) ---- */
typedef struct {
    tl_register kr, pr, rlr, sr;
} tl_iwdg_registers;
#define TL_IWDG ((tl_iwdg_registers *)0x40003000u)

/* ---- number of this very chip, 96 bits (RM0090, 39.1) ---- */
#define TL_UNIQUE_ID ((const tl_register *)0x1FFF7A10u)
