package restart

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
)

// PanicError is a panic that was caught.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the goroutine, as debug.Stack formats it
}

// Error returns the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", e.Value, e.Stack) }

// catch calls fn and turns a panic into a *PanicError. runtime.Goexit passes
// through it.
func catch(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}

// short returns the text of err without the stack of a panic.
func short(err error) string {
	text := err.Error()
	var p *PanicError
	if errors.As(err, &p) {
		text = strings.Replace(text, "\n\n"+string(p.Stack), "", 1)
	}
	return text
}

// brief returns err for a log line, and the stack apart if it is a panic's.
func brief(err error) []any {
	attrs := []any{"error", short(err)}
	var p *PanicError
	if errors.As(err, &p) {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	return attrs
}
