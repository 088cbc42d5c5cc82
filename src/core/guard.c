/* SPDX-License-Identifier: MIT */
/*
 * The frame that ends an unwinding. It is a function of C whose entry in the
 * unwind tables names our own personality routine, by two lines for the
 * assembler that make no instruction: so it is the same on every processor whose
 * stack is unwound by such tables, and needs neither a C++ compiler nor its
 * library.
 *
 * A throw asks twice: first each frame whether it has a handler (for without one
 * std::terminate is called, and nothing unwound), then to be cleaned up. We say
 * yes, and are then the last to be asked. An unwinding by force (pthread_exit,
 * cancellation) asks once, to be cleaned up, and can only be stopped by not
 * returning, which is what we do.
 *
 * Jumping out of the routine is what landing pads do by other means: they, too,
 * go on in an older frame with what is below gone. The program's frames have had
 * their clean-up by then, and between them and guard_run there is only ours.
 */
#include "core/guard.h"

#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <unwind.h>

/* A guarded function that runs; they nest where a handler works another buffer. */
struct guard {
	struct guard *outer;
	void (*run)(void *arg);
	void *arg;
	jmp_buf back;
};

static _Thread_local struct {
	struct guard *innermost;
	struct _Unwind_Exception *leaving; /* what pthread_exit unwinds with */
	bool unfit;
	int program_state; /* whether the program's code may be cancelled; at first it may */
} guards = { .program_state = PTHREAD_CANCEL_ENABLE };

/* Where C++ is in the process, its own account of exceptions (of which
 * std::uncaught_exceptions tells) is kept in order. */
extern void *__cxa_begin_catch(void *exception) __attribute__((weak));
extern void __cxa_end_catch(void) __attribute__((weak));

static void swallow(struct _Unwind_Exception *exception)
{
	if (__cxa_begin_catch && __cxa_end_catch) {
		__cxa_begin_catch(exception);
		__cxa_end_catch();
	} else if (exception->exception_cleanup) {
		exception->exception_cleanup(_URC_FOREIGN_EXCEPTION_CAUGHT, exception);
	}
}

__attribute__((used)) static _Unwind_Reason_Code guard_personality(int version, _Unwind_Action actions,
                                                                   _Unwind_Exception_Class language,
                                                                   struct _Unwind_Exception *exception,
                                                                   struct _Unwind_Context *context)
{
	(void)version, (void)language, (void)context;
	if (actions & _UA_SEARCH_PHASE)
		return _URC_HANDLER_FOUND;
	if (actions & _UA_FORCE_UNWIND)
		guards.leaving = exception;
	else
		swallow(exception);
	guards.unfit = true;
	/* Of the frames with this routine the innermost is asked first. */
	longjmp(guards.innermost->back, 1);
}

/* The frame. 0x1b: four bytes, relative to where they stand. What comes after the
 * call keeps it from being a jump, which has no frame. */
__attribute__((noinline)) static void run_framed(struct guard *guard)
{
	__asm__ volatile(".cfi_personality 0x1b, guard_personality");
	pthread_setcancelstate(guards.program_state, NULL);
	guard->run(guard->arg);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guards.program_state);
}

bool guard_run(void (*run)(void *arg), void *arg)
{
	struct guard guard = { .outer = guards.innermost, .run = run, .arg = arg };
	guards.innermost = &guard;
	bool returned = _setjmp(guard.back) == 0;
	if (returned)
		run_framed(&guard);
	else
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	guards.innermost = guard.outer;
	return returned;
}

bool guard_is_unfit(void)
{
	return guards.unfit;
}

bool guard_is_leaving(void)
{
	return guards.leaving != NULL;
}

void guard_forgive(void)
{
	guards.leaving = NULL;
	guards.unfit = false;
}

void guard_leave(void)
{
	struct _Unwind_Exception *leaving = guards.leaving;
	guard_forgive();
	if (leaving)
		_Unwind_Resume(leaving);
}

int guard_enter(void)
{
	int outer = guards.program_state;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guards.program_state);
	return outer;
}

void guard_exit(int state)
{
	pthread_setcancelstate(guards.program_state, NULL);
	guards.program_state = state;
}
