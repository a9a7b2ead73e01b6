using Proxy.Ci;

namespace Proxy.Tests.Rules;

/// <summary>
/// Checks that the program does not grow while its structure changes, and that no method is longer than a screen. <c>./build.sh count</c> prints the numbers.
/// </summary>
public sealed class StatementCountTests
{
    private static readonly Lazy<StatementCount> Counted = new(() => new StatementCount(Repository.Root));

    [Fact]
    public void Program_Has_no_more_statements_than_its_budget()
    {
        var folders = Counted.Value.ByFolder();

        Assert.True(folders.Count > 10, "the program was not read");
        Assert.InRange(folders.Values.Sum(), 1000, Counted.Value.Budget.Count);
    }

    [Fact]
    public void Methods_Have_at_most_80_lines() =>
        Assert.Empty(Counted.Value.LongerThan(80));

    [Fact]
    public void Methods_that_are_longer_Are_found() =>
        Assert.Contains(Counted.Value.LongerThan(40), method => method.Name == "Unchunk" && method.Lines is > 60 and <= 80);

    [Theory]
    [InlineData("// a comment", 0)]
    [InlineData("class C;", 1)]
    [InlineData("class C\n{\n    int a, b;\n}", 3)]
    [InlineData("class C { int P { get; set; } }", 2)]
    [InlineData("class C { int P => 1; }", 3)]
    [InlineData("class C { int P { get => 1; } }", 3)]
    [InlineData("class C { C() { } }", 2)]
    [InlineData("enum E { A, B }", 1)]
    [InlineData("record R(int A, int B);", 1)]
    [InlineData("class C { void M() { if (a) b(); else { c(\n1,\n2\n); } } }", 5)]
    [InlineData("class C { void M() { int a = 1, b = 2; } }", 3)]
    [InlineData("class C { int M() => a.Sum(b => b + 1); }", 4)]
    [InlineData("class C { void M() { int F() => 1; for (;;) ; } }", 5)]
    [InlineData("class C { int M(int a) { switch (a) { case 1: return 1; default: return 2; } } }", 5)]
    public void Statements_Are_counted_and_not_lines(string source, int count) => Assert.Equal(count, StatementCount.Of(source));
}
