using System.Text.RegularExpressions;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;

namespace Proxy.Tests.Knowledge.Analysis;

public sealed class TextAnalyzerTests
{
    private readonly TextAnalyzer analyzer = new();

    [Theory]
    [InlineData("The Proxies are listening", "proxi listen")]
    [InlineData("", "")]
    [InlineData("… --- ,,, ___", "")]
    [InlineData("snake_case", "snake_case snake case")]
    [InlineData("kebab-case", "kebab-case kebab case")]
    [InlineData("camelCaseName", "camelcasenam camel case name")]
    [InlineData("HTTP2Server", "http2server http server")]
    [InlineData("parseHTTPResponse URLs", "parsehttprespons pars http respons url")]
    [InlineData("E1234: failed", "e1234 1234 fail")]
    [InlineData("at 10.0.0.1 now", "10.0.0.1 10 0 0 1")]
    [InlineData("call foo.bar() twice", "call foo.bar foo bar twice")]
    [InlineData("/etc/nginx/nginx.conf,", "etc/nginx/nginx.conf etc nginx nginx.conf nginx conf")]
    [InlineData("std::vector", "std::vector std vector")]
    [InlineData("__init__", "__init__ init")]
    [InlineData("user's don't we'll O'Brien's", "user don o brien")]
    [InlineData("don’t", "don")]
    public void English_and_identifiers_Become_these_terms(string text, string terms) => Assert.Equal(terms, string.Join(' ', analyzer.Terms(text)));

    [Theory]
    [InlineData("東京タワー", "東京 京タ タワ ワー")]
    [InlineData("犬", "犬")]
    [InlineData("2024年に、Tokyoで", "2024 年に tokyo で")]
    [InlineData("สวัสดี", "สว วั ัส สด ดี")]
    [InlineData("ﾊﾟﾝ", "パン")]
    [InlineData("か\u3099き", "がき")]
    [InlineData("𠮷野家", "𠮷野 野家")]
    [InlineData("ＡＢＣ１２", "abc12 abc 12")]
    public void Scripts_without_spaces_Become_pairs(string text, string terms) => Assert.Equal(terms, string.Join(' ', analyzer.Terms(text)));

    [Theory]
    [InlineData("Größe", "größe gross")]
    [InlineData("résumés", "résumés resum")]
    [InlineData("re\u0301sume\u0301s", "re\u0301sume\u0301s resum")]
    [InlineData("Серверы", "серверы")]
    [InlineData("שָׁלוֹם", "שָׁלוֹם שלום")]
    [InlineData("e\uFB03cient co\u00ADoperate", "effici cooper")]
    [InlineData("हिन्दी", "हिन्दी")]
    public void Words_that_are_not_ASCII_Are_kept_and_are_found_without_diacritics(string text, string terms) =>
        Assert.Equal(terms, string.Join(' ', analyzer.Terms(text)));

    [Fact]
    public void A_query_without_diacritics_Has_a_term_of_the_word_with_them()
    {
        Assert.Contains(analyzer.Terms("resume").Single(), analyzer.Terms("résumé"));
    }

    [Theory]
    [InlineData("the port of src/HttpServer.cs", "port, src/httpserver.cs, src<src/httpserver.cs, httpserver.cs<src/httpserver.cs, "
        + "httpserver<src/httpserver.cs<httpserver.cs, http<src/httpserver.cs<httpserver.cs<httpserver, "
        + "server<src/httpserver.cs<httpserver.cs<httpserver, cs<src/httpserver.cs<httpserver.cs")]
    [InlineData("file_limit limit", "file_limit, file<file_limit, limit")]
    [InlineData("well-known", "well-known, well<~well-known, known<~well-known")]
    public void The_parts_of_a_query_s_identifiers_Say_of_which_they_are(string query, string terms)
    {
        var found = analyzer.QueryTerms(query)
            .Select(static term => term.Term + string.Concat(term.PartOf.Select(static whole => (whole.IsCode ? "<" : "<~") + whole.Term)));

        Assert.Equal(terms, string.Join(", ", found));
    }

    [Fact]
    public void Hashes_and_encoded_data_Are_few_terms_none_of_them_long()
    {
        var encoded = string.Concat(Enumerable.Range(0, 200).Select(static i => $"{(char)('a' + (i % 26))}{i}XyZ{(i % 3 == 0 ? "/" : i % 7 == 0 ? "+" : "")}"));
        var texts = new[] { new string('a', 100_000), "3f2a9bc4e1d05f6789ab3f2a9bc4e1d05f6789ab", new string('x', 65), encoded };

        var terms = texts.Select(analyzer.Terms).ToList();

        Assert.All(terms.SelectMany(static all => all), static term => Assert.InRange(term.Length, 1, TextAnalyzer.LongestTerm));
        Assert.Single(terms[0]);
        Assert.Single(terms[1]);
        Assert.NotEqual(terms[0], terms[2]);
        Assert.True(terms[3].Count < encoded.Length / 4, $"{terms[3].Count} terms of {encoded.Length} characters");
        Assert.Equal(terms[0], analyzer.Terms(new string('A', 100_000)));
    }

    [Fact]
    public void Broken_surrogates_Separate_words()
    {
        Assert.Equal(["one", "two"], analyzer.Terms("one\uD800two\uDC00"));
    }

    [Fact]
    public void The_terms_of_a_chunk_Count_the_title_in_the_body_too()
    {
        var terms = analyzer.TermsOf("nginx › Buffers", "The buffers of nginx are flushed");

        Assert.Equal((5, 2), (terms.BodyLength, terms.TitleLength));
        Assert.Equal((2, 1), (terms.Body["buffer"], terms.Title["buffer"]));
        Assert.Contains((new TermKey(TermField.Title, "nginx"), 1), terms.All);
    }

    /// <summary>Lengths, counts and terms of plain text are those with which the recipe was measured; only the stemmer is a newer one.</summary>
    [Theory]
    [InlineData("The boundary-layer of a two-dimensional wing at mach 2.5 (fig. 3-b) and/or 60-degree cones, e.g. lift/drag in ft/sec")]
    [InlineData("Results for 1957-58 were 12:30, 3.14 and 1,250 + 50% of the U.S. total; H2O and NACA0012 are McDonald's")]
    [InlineData("Call foo_bar or src/HttpServer.cs on 10.0.0.1 with --dry-run; std::vector")]
    [InlineData("end of one.Next sentence x = y/z [12], \"quoted\" (so-called) e-mail")]
    public void The_words_of_ASCII_text_Are_those_of_the_recipe(string text)
    {
        var plain = text.Replace("'s", "", StringComparison.Ordinal);
        var expected = Regex.Matches(plain.ToLowerInvariant(), "[a-z0-9]+").Select(static match => match.Value)
            .Where(static word => !StopWords.All.Contains(word)).Select(word => analyzer.Terms(word)[0]).ToList();

        var counts = analyzer.Count(text);

        Assert.Equal(expected.Count, counts.Length);
        Assert.Equal(expected.CountBy(static term => term).OrderBy(static term => term.Key), counts.Words.OrderBy(static term => term.Key));
        Assert.Equal(analyzer.Terms(text).Order(), counts.All().SelectMany(static term => Enumerable.Repeat(term.Key, term.Value)).Order());
    }

    [Theory]
    [InlineData("well-known", false)]
    [InlineData("ft/sec", false)]
    [InlineData("60-degree", false)]
    [InlineData("2.5", false)]
    [InlineData("12:30", false)]
    [InlineData("1957-58", false)]
    [InlineData("u.s.a", false)]
    [InlineData("foo.bar", true)]
    [InlineData("10.0.0.1", true)]
    [InlineData("snake_case", true)]
    [InlineData("me@example", true)]
    [InlineData("std::vector", true)]
    [InlineData("utf_8", true)]
    public void Compounds_of_prose_Are_told_from_code(string text, bool isCode)
    {
        var terms = analyzer.QueryTerms(text);

        Assert.Equal((text, !isCode), (terms[0].Term, terms[0].IsCompound));
        Assert.All(terms.Skip(1), term => Assert.Equal(new Identifier(text, isCode), term.PartOf[0]));
    }

    [Fact]
    public void Stop_words_Are_115()
    {
        Assert.Equal(115, StopWords.All.Count);
    }
}
