namespace Proxy.Documents;

/// <summary>The formats that are read.</summary>
internal enum DocumentFormat
{
    /// <summary>The name does not say.</summary>
    Unknown,
    Text,
    Markdown,
    Html,
    Json,
    JsonLines,
    Csv,
    Tsv,
    Code,
    Pdf,
    Word,
    Slides,
    Sheets,
    Epub,

    /// <summary>A known format that is not read, for example pictures.</summary>
    Other,
}

/// <summary>What a file's name says about its format.</summary>
internal static class FormatNames
{
    private static readonly Dictionary<string, DocumentFormat> ByExtension = Build(
        (DocumentFormat.Text, "txt text log rst adoc asciidoc org tex latex textile wiki srt vtt man me ms nfo readme license"),
        (DocumentFormat.Markdown, "md markdown mdown mkd mkdn mdx qmd rmd mdc"),
        (DocumentFormat.Html, "html htm xhtml xht"),
        (DocumentFormat.Json, "json geojson webmanifest har ipynb jsonc json5"),
        (DocumentFormat.JsonLines, "jsonl ndjson ldjson"),
        (DocumentFormat.Csv, "csv"),
        (DocumentFormat.Tsv, "tsv tab"),
        (DocumentFormat.Pdf, "pdf"),
        (DocumentFormat.Word, "docx docm dotx dotm"),
        (DocumentFormat.Slides, "pptx pptm ppsx ppsm potx potm"),
        (DocumentFormat.Sheets, "xlsx xlsm xltx xltm"),
        (DocumentFormat.Epub, "epub"),
        (DocumentFormat.Other, "doc xls ppt rtf odt ods odp pages numbers key zip gz tgz bz2 xz zst 7z rar tar jar war deb rpm iso dmg exe dll so dylib a o"
            + " class pyc wasm bin dat db sqlite png jpg jpeg gif webp bmp tif tiff ico heic avif psd mp3 mp4 m4a wav flac ogg mkv mov avi webm woff woff2"
            + " ttf otf"
            + " onnx gguf safetensors parquet mobi azw3 djvu msg pst"),
        (DocumentFormat.Code, "cs csx fs fsx fsi vb c h cc cpp cxx hh hpp hxx ino m mm swift java kt kts scala groovy gradle clj cljs cljc edn js mjs cjs jsx"
            + " ts mts cts tsx vue svelte astro py pyi pyw pyx rb erb rake gemspec php pl pm raku lua go rs zig nim d dart r jl hs lhs ml mli elm ex exs erl"
            + " hrl"
            + " lisp lsp el scm rkt sh bash zsh fish ksh ps1 psm1 bat cmd awk sed sql psql ddl proto thrift graphql gql sol vy asm s v sv vhd vhdl cl cu cuh"
            + " glsl"
            + " hlsl wgsl metal f f90 f95 for pas pp ada adb ads cob cbl tcl coffee css scss sass less styl xml xsd xsl xslt svg plist csproj fsproj vbproj"
            + " props"
            + " targets sln resx xaml yaml yml toml ini cfg conf config env properties editorconfig dockerfile containerfile makefile mk cmake bazel bzl nix tf"
            + " tfvars hcl rego service socket timer desktop patch diff lock mod sum gitignore dockerignore gitattributes jinja j2 tmpl hbs mustache ejs"
            + " liquid"));

    /// <summary>By the extension, or by the whole name where a file has none ("Makefile").</summary>
    public static DocumentFormat Of(string name) => ByExtension.GetValueOrDefault(Extension(name));

    /// <summary>Without the dot and in small letters; the whole name if it has no dot.</summary>
    public static string Extension(string name)
    {
        var last = name[(name.LastIndexOfAny(['/', '\\']) + 1)..];
        return last[(last.LastIndexOf('.') + 1)..].ToLowerInvariant();
    }

    private static Dictionary<string, DocumentFormat> Build(params (DocumentFormat Format, string Extensions)[] rows) =>
        rows.SelectMany(static row => row.Extensions.Split(' ').Select(extension => (extension, row.Format)))
            .ToDictionary(static pair => pair.extension, static pair => pair.Format, StringComparer.Ordinal);
}
