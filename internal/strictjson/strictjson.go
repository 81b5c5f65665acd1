// Package strictjson is the one decoder of what a provider signs or says.
package strictjson

// Object is the members of a JSON object, in order; every name occurs once.
type Object []Member

// Member is one member of an Object.
type Member struct {
	Name  string // unescaped
	Value Value
}

// Value is one JSON value of a checked text. The zero Value stands for an absent one: every conversion of it fails.
type Value struct{ raw string }

// Parse checks that text is exactly one strict JSON object and returns its members.
func Parse(text string) (Object, error) { return nil, nil }

// Get returns the member's value, or the zero Value.
func (o Object) Get(name string) Value { return Value{} }

// Unmarshal checks text like Parse and decodes it into v as encoding/json does, but with exact names.
func Unmarshal(text string, v any) error { return nil }

// Raw returns the JSON text, "" if absent.
func (v Value) Raw() string { return v.raw }

// Text returns the string that v is.
func (v Value) Text() (string, bool) { return "", false }

// Texts returns the array of strings that v is.
func (v Value) Texts() ([]string, bool) { return nil, false }

// Float64 returns the finite number that v is.
func (v Value) Float64() (float64, bool) { return 0, false }

// Int64 returns the integer that v is.
func (v Value) Int64() (int64, bool) { return 0, false }

// Bool returns the boolean that v is.
func (v Value) Bool() (value, ok bool) { return false, false }

// Object returns the object that v is.
func (v Value) Object() (Object, bool) { return nil, false }

// Array returns the array that v is.
func (v Value) Array() ([]Value, bool) { return nil, false }
