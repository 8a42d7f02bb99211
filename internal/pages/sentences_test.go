package pages_test

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A passage is a piece of prose that ends where it does: a paragraph, a heading,
// an item of a list, a cell of a table. Code in it is replaced by a word.
type passage struct {
	at   string // file and line
	text string
	// rows is set for the lines of a table in a doc comment. They are no
	// sentences, so that their length is not counted.
	rows bool
}

// inline is the word that replaces code within a sentence.
const inline = "CODE"

var (
	codeSpan   = regexp.MustCompile("``[^`].*?``|`[^`]+`")
	image      = regexp.MustCompile(`!\[([^\]]*)\]\([^)]*\)`)
	markedLink = regexp.MustCompile(`\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])`)
	htmlTag    = regexp.MustCompile(`<[^>]+>`)
	listItem   = regexp.MustCompile(`^\s*([-*+]|\d+\.)\s+`)
	rule       = regexp.MustCompile(`^[\s|:-]+$`)
)

// plain returns Markdown without its marks.
func plain(text string) string {
	text = codeSpan.ReplaceAllString(text, inline)
	text = image.ReplaceAllString(text, "$1")
	text = markedLink.ReplaceAllString(text, "$1")
	text = htmlTag.ReplaceAllString(text, "")
	return strings.NewReplacer("**", "", "*", "", "\\|", "|", "&nbsp;", " ").Replace(text)
}

// passagesOf returns the prose of a page of Markdown.
func passagesOf(page, text string) (all []passage) {
	var open []string
	begin, line, fence := 0, 0, ""
	end := func() {
		if prose := strings.TrimSpace(plain(strings.Join(open, " "))); prose != "" {
			all = append(all, passage{at: fmt.Sprintf("%s:%d", page, begin), text: prose})
		}
		open = nil
	}
	for content := range strings.Lines(text) {
		line++
		content = strings.TrimRight(content, "\r\n")
		trimmed := strings.TrimSpace(content)
		marks := trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
		switch row := cells(content); {
		case fence != "":
			if trimmed == fence {
				fence = ""
			}
			continue
		case len(marks) >= 3:
			end()
			fence = marks
		case trimmed == "", rule.MatchString(trimmed):
			end()
		case row != nil:
			end()
			for _, cell := range row {
				begin, open = line, []string{cell}
				end()
			}
		case strings.HasPrefix(trimmed, "#"):
			end()
			begin, open = line, []string{strings.TrimLeft(trimmed, "# ")}
			end()
		case listItem.MatchString(content):
			end()
			begin, open = line, []string{listItem.ReplaceAllString(content, "")}
		default:
			if len(open) == 0 {
				begin = line
			}
			open = append(open, strings.TrimLeft(trimmed, "> "))
		}
	}
	end()
	return all
}

// passagesOfComment returns the prose of a doc comment.
func passagesOfComment(at, text string) (all []passage) {
	var p comment.Parser
	p.LookupSym = func(string, string) bool { return true }
	var add func(blocks []comment.Block)
	add = func(blocks []comment.Block) {
		for _, b := range blocks {
			switch b := b.(type) {
			case *comment.Paragraph:
				all = append(all, passage{at: at, text: said(b.Text)})
			case *comment.Heading:
				all = append(all, passage{at: at, text: said(b.Text)})
			case *comment.List:
				for _, item := range b.Items {
					add(item.Content)
				}
			case *comment.Code:
				all = append(all, passage{at: at, text: b.Text, rows: true})
			}
		}
	}
	add(p.Parse(text).Content)
	return all
}

// said returns the words of a part of a doc comment.
func said(parts []comment.Text) string {
	var out strings.Builder
	for _, part := range parts {
		switch part := part.(type) {
		case comment.Plain:
			out.WriteString(string(part))
		case comment.Italic:
			out.WriteString(string(part))
		case *comment.Link:
			out.WriteString(said(part.Text))
		case *comment.DocLink:
			out.WriteString(said(part.Text))
		}
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// sentenceEnd is a mark that ends a sentence, with the closing marks behind it.
var sentenceEnd = regexp.MustCompile(`[.!?]["')\]]*\s+`)

// abbreviations end with a dot that ends no sentence.
var abbreviations = []string{"e.g.", "i.e.", "etc.", "vs.", "cf.", "no.", "ca."}

// sentences splits a passage.
func sentences(text string) (all []string) {
	from := 0
	for _, m := range sentenceEnd.FindAllStringIndex(text, -1) {
		words := strings.Fields(text[:m[1]])
		last := strings.ToLower(strings.TrimLeft(words[len(words)-1], "(\"'"))
		if slices.Contains(abbreviations, last) {
			continue
		}
		all = append(all, strings.TrimSpace(text[from:m[1]]))
		from = m[1]
	}
	if rest := strings.TrimSpace(text[from:]); rest != "" {
		all = append(all, rest)
	}
	return all
}

// words counts the words of a sentence: what has a letter or a digit.
func words(sentence string) (n int) {
	for word := range strings.FieldsSeq(sentence) {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			n++
		}
	}
	return n
}

// docPassages returns the prose of a package's doc comments: the package's own,
// and those of its exported identifiers, methods and fields.
func docPassages(t *testing.T, dir string) (all []passage) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(top, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range docComments(file) {
			at := fset.Position(group.Pos())
			short, err := filepath.Rel(top, at.Filename)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, passagesOfComment(fmt.Sprintf("%s:%d", filepath.ToSlash(short), at.Line), group.Text())...)
		}
	}
	return all
}

// docComments returns the comments of a file that a reader of the package's
// documentation sees.
func docComments(file *ast.File) (all []*ast.CommentGroup) {
	add := func(groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if g != nil {
				all = append(all, g)
			}
		}
	}
	fields := func(list *ast.FieldList) {
		for _, f := range list.List {
			if len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported) {
				add(f.Doc, f.Comment)
			}
		}
	}
	add(file.Doc)
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Name.IsExported() && exportedReceiver(decl) {
				add(decl.Doc)
			}
		case *ast.GenDecl:
			exported := false
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if !spec.Name.IsExported() {
						continue
					}
					exported = true
					add(spec.Doc, spec.Comment)
					switch of := spec.Type.(type) {
					case *ast.StructType:
						fields(of.Fields)
					case *ast.InterfaceType:
						fields(of.Methods)
					}
				case *ast.ValueSpec:
					if slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported) {
						exported = true
						add(spec.Doc, spec.Comment)
					}
				}
			}
			if exported {
				add(decl.Doc)
			}
		}
	}
	return all
}

// exportedReceiver reports whether a function has no receiver or one of an
// exported type.
func exportedReceiver(decl *ast.FuncDecl) bool {
	if decl.Recv == nil {
		return true
	}
	of := decl.Recv.List[0].Type
	for {
		switch x := of.(type) {
		case *ast.StarExpr:
			of = x.X
		case *ast.IndexExpr:
			of = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func TestPassagesOf(t *testing.T) {
	page := "# A *b*\n\nOne `x y`\n[two](z.md).\n\n```go\nWhat(x)\n```\n| h | `a b` c |\n| --- | --- |\n- item\n  goes\n- next\n1. **n**\n<img src=\"x\">\n"
	var got []string
	for _, p := range passagesOf("p", page) {
		got = append(got, p.at+" "+p.text)
	}
	want := []string{"p:1 A b", "p:3 One CODE two.", "p:9 h", "p:9 CODE c", "p:11 item goes", "p:13 next", "p:14 n"}
	if !slices.Equal(got, want) {
		t.Errorf("passagesOf = %q, want %q", got, want)
	}
}

func TestPassagesOfComment(t *testing.T) {
	got := passagesOfComment("f:1", "F does.\nMore of [Store.Close].\n\n# Costs\n\n  - one\n  - two\n\nRows:\n\n\tWhat  why\n")
	want := []passage{
		{at: "f:1", text: "F does. More of Store.Close."},
		{at: "f:1", text: "Costs"},
		{at: "f:1", text: "one"},
		{at: "f:1", text: "two"},
		{at: "f:1", text: "Rows:"},
		{at: "f:1", text: "What  why\n", rows: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("passagesOfComment = %+v, want %+v", got, want)
	}
}

func TestSentences(t *testing.T) {
	got := sentences(`A is 3.5 (e.g. here). b does "c." Is it? etcd v3.7.3 is, i.e. one`)
	want := []string{"A is 3.5 (e.g. here).", `b does "c."`, "Is it?", "etcd v3.7.3 is, i.e. one"}
	if !slices.Equal(got, want) {
		t.Errorf("sentences = %q, want %q", got, want)
	}
	if n := words("a – b, 10 s: CODE (c)"); n != 6 {
		t.Errorf("words = %d, want 6", n)
	}
}
