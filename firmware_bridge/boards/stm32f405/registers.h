/* The registers that this board uses, as structures at addresses: RM0090 (STM32F405), PM0214 (Cortex-M4).
 * Tests hand the drivers a structure of their own in place of the address. */
#ifndef RTU_STM32F405_REGISTERS_H
#define RTU_STM32F405_REGISTERS_H

#include <stdint.h>

typedef volatile uint32_t rtu_register;

/* ---- core (PM0214, 4) ---- */
typedef struct {
    rtu_register cpuid, icsr, vtor, aircr, scr, ccr;
} rtu_scb_registers;
#define RTU_SCB ((rtu_scb_registers *)0xE000ED00u)
#define RTU_AIRCR_KEY 0x05FA0000u
#define RTU_AIRCR_SYSRESETREQ 4u

typedef struct {
    rtu_register ctrl, load, val, calib;
} rtu_systick_registers;
#define RTU_SYSTICK ((rtu_systick_registers *)0xE000E010u)
#define RTU_SYSTICK_ENABLE 1u
#define RTU_SYSTICK_INTERRUPT 2u
#define RTU_SYSTICK_CORE_CLOCK 4u

/* 32 interrupts a word */
#define RTU_NVIC_ENABLE ((rtu_register *)0xE000E100u)
#define RTU_NVIC_PEND ((rtu_register *)0xE000E200u)

#define RTU_SCB_ICSR_PENDSTSET (1u << 26)

/* ---- clocks (RM0090, 3.9, 7.3) ---- */
typedef struct {
    rtu_register cr, pllcfgr, cfgr, cir, ahb1rstr, ahb2rstr, ahb3rstr, reserved0, apb1rstr, apb2rstr, reserved1[2],
        ahb1enr, ahb2enr, ahb3enr, reserved2, apb1enr, apb2enr;
} rtu_rcc_registers;
#define RTU_RCC ((rtu_rcc_registers *)0x40023800u)
#define RTU_RCC_HSION 1u
#define RTU_RCC_HSIRDY 2u
#define RTU_RCC_HSEON (1u << 16)
#define RTU_RCC_HSERDY (1u << 17)
#define RTU_RCC_PLLON (1u << 24)
#define RTU_RCC_PLLRDY (1u << 25)

typedef struct {
    rtu_register acr;
} rtu_flash_registers;
#define RTU_FLASH ((rtu_flash_registers *)0x40023C00u)

/* ---- pins (RM0090, 8.4) ---- */
typedef struct {
    rtu_register moder, otyper, ospeedr, pupdr, idr, odr, bsrr, lckr, afr[2];
} rtu_gpio_registers;
#define RTU_GPIOA ((rtu_gpio_registers *)0x40020000u)

/* ---- serial port (RM0090, 30.6) ---- */
typedef struct {
    rtu_register sr, dr, brr, cr1, cr2, cr3, gtpr;
} rtu_usart_registers;
#define RTU_USART1 ((rtu_usart_registers *)0x40011000u)
#define RTU_USART1_INTERRUPT 37u
#define RTU_USART_ORE (1u << 3)
#define RTU_USART_RXNE (1u << 5)
#define RTU_USART_TXE (1u << 7)
#define RTU_USART_CR1_RE (1u << 2)
#define RTU_USART_CR1_TE (1u << 3)
#define RTU_USART_CR1_RXNEIE (1u << 5)
#define RTU_USART_CR1_TXEIE (1u << 7)
#define RTU_USART_CR1_UE (1u << 13)

/* ---- independent watchdog (RM0090, 21.4) ---- */
typedef struct {
    rtu_register kr, pr, rlr, sr;
} rtu_iwdg_registers;
#define RTU_IWDG ((rtu_iwdg_registers *)0x40003000u)

/* ---- number of this very chip, 96 bits (RM0090, 39.1) ---- */
#define RTU_UNIQUE_ID ((const rtu_register *)0x1FFF7A10u)

#endif
