package driver

import (
	"fmt"
	"strings"
)

// Limits of every store, so that what fits one fits all.
const (
	// MaxValueBytes bounds the value of a key.
	MaxValueBytes = 256 << 10
	// MaxTxnBytes bounds the values and keys of a commit together.
	MaxTxnBytes = 256 << 10
	// MaxOps bounds the operations and conditions of a commit together.
	MaxOps = 64
	// MaxKeyBytes bounds a key or a directory.
	MaxKeyBytes = 480
)

// CheckPath reports, as ErrInvalid, what is wrong with a key or a directory. It
// must be components of letters, digits and "-._~%", joined by single slashes,
// at most MaxKeyBytes long. No component may be "." or "..". Every store
// accepts such keys.
func CheckPath(path string) error {
	if path == "" {
		return fmt.Errorf("%w: the key is empty", ErrInvalid)
	}
	if len(path) > MaxKeyBytes {
		return fmt.Errorf("%w: key of %d bytes, at most %d are allowed: it begins with %.40q", ErrInvalid, len(path), MaxKeyBytes, path)
	}
	for component := range strings.SplitSeq(path, "/") {
		if wrong := checkComponent(component); wrong != "" {
			return fmt.Errorf("%w: key %q has %s", ErrInvalid, path, wrong)
		}
	}
	return nil
}

// checkComponent returns what is wrong with one component of a key, or "".
func checkComponent(component string) string {
	switch component {
	case "":
		return "an empty component"
	case ".", "..":
		return fmt.Sprintf("a component %q", component)
	}
	for i := range len(component) {
		if !KeyByte(component[i]) {
			return fmt.Sprintf("the byte %q", component[i])
		}
	}
	return ""
}

// KeyByte reports whether c is allowed in a component of a key.
func KeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~' || c == '%'
}

// CheckTargets checks the path of each target.
func CheckTargets(targets ...Target) error {
	for _, t := range targets {
		if err := CheckPath(t.Path); err != nil {
			return err
		}
	}
	return nil
}

// Check reports, as ErrInvalid or ErrTooLarge, what is wrong with a Txn. Every
// driver calls it before it sends anything.
func (txn Txn) Check() error {
	if n := len(txn.Unchanged) + len(txn.Ops); n > MaxOps {
		return fmt.Errorf("%w: %d operations and conditions, at most %d are allowed", ErrTooLarge, n, MaxOps)
	} else if n == 0 {
		return fmt.Errorf("%w: a commit of nothing", ErrInvalid)
	}
	size, ephemeral := 0, false
	seen := make(map[string]bool, len(txn.Unchanged)+len(txn.Ops))
	name := func(key string) error {
		if err := CheckPath(key); err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%w: key %q appears twice in a commit", ErrInvalid, key)
		}
		seen[key] = true
		size += len(key)
		return nil
	}
	for _, c := range txn.Unchanged {
		if err := name(c.Key); err != nil {
			return err
		}
		if c.Version.IsZero() {
			return fmt.Errorf("%w: condition on %q without a version", ErrInvalid, c.Key)
		}
	}
	alone := len(txn.Unchanged) == 0 && len(txn.Ops) == 1
	for _, op := range txn.Ops {
		if err := name(op.Key); err != nil {
			return err
		}
		if err := op.check(alone); err != nil {
			return err
		}
		ephemeral = ephemeral || op.Ephemeral
		size += len(op.Value)
	}
	if ephemeral != (txn.Lease != "") {
		return fmt.Errorf("%w: a commit names a lease exactly when it creates an ephemeral key", ErrInvalid)
	}
	if size > MaxTxnBytes {
		return fmt.Errorf("%w: commit of %d bytes, at most %d are allowed", ErrTooLarge, size, MaxTxnBytes)
	}
	return nil
}

func (op Op) check(alone bool) error {
	if len(op.Value) > MaxValueBytes {
		return fmt.Errorf("%w: value of %d bytes for %q, at most %d are allowed", ErrTooLarge, len(op.Value), op.Key, MaxValueBytes)
	}
	if op.Ephemeral && op.Kind != OpCreate {
		return fmt.Errorf("%w: %q: only a create is ephemeral", ErrInvalid, op.Key)
	}
	switch op.Kind {
	case OpCreate:
		if !op.Version.IsZero() {
			return fmt.Errorf("%w: create of %q with a version", ErrInvalid, op.Key)
		}
	case OpPut:
		if op.Version.IsZero() {
			return fmt.Errorf("%w: put of %q without a version", ErrInvalid, op.Key)
		}
	case OpDelete:
		if op.Version.IsZero() && !alone {
			return fmt.Errorf("%w: delete of %q without a version in a commit of more", ErrInvalid, op.Key)
		}
	default:
		return fmt.Errorf("%w: operation of unknown kind %d on %q", ErrInvalid, op.Kind, op.Key)
	}
	return nil
}
